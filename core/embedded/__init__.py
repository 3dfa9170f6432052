"""The servers that come with the product, for a machine on which nothing is configured."""
