"""What stands between the network and the page: connections, hosts, origins, bodies. No Gradio, no torch."""
