"""`/v1/conversations`: items that are kept between responses, compatible with OpenAI's API."""
