"""What methods solve with: quadratic programs, positive equations, linear algebra."""
