"""What the tests share: a node to start, stop and kill, clients of it, requests, and what its events tell."""
