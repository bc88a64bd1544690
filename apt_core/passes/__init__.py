"""Every window through every block: halted in front of layers, forwards, backwards. Imports texts and below."""
