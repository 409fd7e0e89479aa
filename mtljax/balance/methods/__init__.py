"""The balancers, one file a method, named as it is called."""
