"""What an agent may do: one plain async function a file, with what it needs passed in. The first come with the agents."""
