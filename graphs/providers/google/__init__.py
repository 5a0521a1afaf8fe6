"""Google's Gemini, over its own protocol: `generateContent` of ai.google.dev."""
