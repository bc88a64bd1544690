"""Known to every room: frozen values, the error tree, paths, patterns, words, clock, machine. Imports no other room."""
