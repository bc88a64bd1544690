"""What runs give out: reports (one HTML file, Markdown), words, recorded samples. Imports studies and below."""
