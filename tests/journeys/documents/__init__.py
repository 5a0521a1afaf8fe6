"""Documents from upload to cited answer."""
