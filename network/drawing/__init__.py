"""Pictures of networks: read the compiled graph, place its nodes, and draw them to files."""
