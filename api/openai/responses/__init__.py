"""OpenAI's Responses API, `/v1/responses`, for any model and agent. A response is a job; its events follow from the job's."""
