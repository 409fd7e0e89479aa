"""What methods solve with: quadratic programs, positive equations, a search in a ball, linear algebra, sorting."""
