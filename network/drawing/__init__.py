"""The picture of a network: its compiled graph, the places of its nodes, and the files drawn."""
