"""Published methods: each a composition of components with its defaults."""
