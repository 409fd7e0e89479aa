"""Which tasks help which, measured on one config: the trainings of each measure, and what is concluded from them."""
