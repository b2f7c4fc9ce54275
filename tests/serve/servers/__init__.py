"""The application on each server that people use, and `demijohn serve` as a command."""
