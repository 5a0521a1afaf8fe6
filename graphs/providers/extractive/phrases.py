"""What the offline model says of its own, in English and Vietnamese. Everything else that it says is quoted."""

from graphs.routing.language import detect_language

NOTICE = (
    "No language model is connected, so this answer only quotes the text at hand; to connect one, set OLLAMA_HOST or "
    "OPENAI_API_KEY, and HEADRACE_DEFAULT_MODEL to choose the model."
)
_PHRASES = {
    "en": {
        "from": "From {tool}:",
        "failed": "{tool} failed: {why}",
        "empty": "{tool} found nothing.",
        "nowhere": "That is not in the documents.",
        "more": "… and {n} more",
        "field": "field",
        "value": "value",
        "ask": "To use {tool} I need: {fields}. Please tell me.",
        "done": "Answer from what was found",
        "routing": "Choosing among agents by meaning needs a language model.",
    },
    "vi": {
        "from": "Theo {tool}:",
        "failed": "{tool} không thực hiện được: {why}",
        "empty": "{tool} không tìm thấy gì.",
        "nowhere": "Không có trong tài liệu.",
        "more": "… và {n} mục nữa",
        "field": "trường",
        "value": "giá trị",
        "ask": "Để dùng {tool}, tôi cần: {fields}. Xin cho tôi biết.",
        "done": "Trả lời từ những gì đã tìm thấy",
        "routing": "Choosing among agents by meaning needs a language model.",
    },
}


def phrase(name: str, question: str, **values: object) -> str:
    """A phrase in the language of the question; English unless that is Vietnamese."""
    return _PHRASES["vi" if detect_language(question) == "vi" else "en"][name].format(**values)
