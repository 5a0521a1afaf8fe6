"""The offline model's own phrases, in English and Vietnamese. Everything else in its answers is quoted."""

from graphs.language.detection import detect_language

_PHRASES = {
    "en": {
        "from": "From {tool}:",
        "failed": "{tool} failed: {why}",
        "empty": "{tool} found nothing.",
        "nowhere": "That is not in the documents.",
        "nearest": "Nearest to it in them:",
        "more": "… and {n} more",
        "field": "field",
        "value": "value",
        "ask": "To use {tool}, please tell me the {fields}.",
        "done": "Answer from what was found",
        "routing": "Choosing an agent for this needs a language model; please name the agent.",
        "greeting": (
            "Hello! I can look things up with tools, calculate and quote your documents; for everything else, connect a "
            "language model."
        ),
        "helpless": (
            "I can't answer that without a language model: connect one, or name an agent or a collection of documents that "
            "may know."
        ),
        "wordless": "There was no question to answer; ask one in words.",
    },
    "vi": {
        "from": "Theo {tool}:",
        "failed": "{tool} không thực hiện được: {why}",
        "empty": "{tool} không tìm thấy gì.",
        "nowhere": "Không có trong tài liệu.",
        "nearest": "Gần nhất trong đó:",
        "more": "… và {n} mục nữa",
        "field": "trường",
        "value": "giá trị",
        "ask": "Để dùng {tool}, xin cho tôi biết: {fields}.",
        "done": "Trả lời từ những gì đã tìm thấy",
        "routing": "Việc chọn tác tử cho câu này cần một mô hình ngôn ngữ; xin nêu tên tác tử.",
        "greeting": (
            "Xin chào! Tôi có thể tra cứu bằng công cụ, tính toán và trích dẫn tài liệu của bạn; muốn hỏi những việc khác, "
            "hãy kết nối một mô hình ngôn ngữ."
        ),
        "helpless": (
            "Tôi không thể trả lời câu này khi chưa có mô hình ngôn ngữ: hãy kết nối một mô hình, hoặc nêu một tác tử hay "
            "một bộ tài liệu có thể biết."
        ),
        "wordless": "Không có câu hỏi nào để trả lời; xin hãy hỏi bằng lời.",
    },
}


def fixed_phrase(name: str, question: str, **values: object) -> str:
    """Return a phrase in the language of the question: Vietnamese or else English."""
    return _PHRASES["vi" if detect_language(question) == "vi" else "en"][name].format(**values)
