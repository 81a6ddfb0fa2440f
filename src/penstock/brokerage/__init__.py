"""The chapter's application: a brokerage dashboard over a stream of orders."""
