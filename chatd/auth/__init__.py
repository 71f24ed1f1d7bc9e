"""The product's auth service, asked over HTTP."""
