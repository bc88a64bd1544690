"""What is shared of runs: reports (one HTML file, Markdown), words, recorded samples. Imports studies and below."""
