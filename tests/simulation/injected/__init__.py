"""What happens to the processes and servers of a simulation: a method for each kind of fault."""
