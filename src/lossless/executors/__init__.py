"""How losses are computed: a package a framework, which lists its executors, best first."""
