"""Doors with sockets: the listeners and the clients of the house."""
