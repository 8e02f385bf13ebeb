"""Payments that nobody claimed: an operator makes the order, or the refund."""
