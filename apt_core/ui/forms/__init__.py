"""What a visitor fills in, drawn and checked."""
