"""What can be asked for: frozen, versioned requests. Imports base and methods."""
