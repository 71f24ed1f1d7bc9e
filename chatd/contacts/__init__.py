"""The product, asked whether one person may contact another."""
