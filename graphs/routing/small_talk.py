"""Small talk: what belongs to none of a tenant's agents. Greetings, jokes, general knowledge, in both languages.

It competes with the agents like one of them, so that "write a poem" has something to be similar to. An agent that does tell
jokes still wins, by its own examples.
"""

from graphs.routing.contract import Candidate

SMALL_TALK_NAME = ""
"""Not a valid agent name."""

GREETINGS = (
    *("hello", "hi", "hey", "thanks", "thank you", "good morning", "good night", "goodbye", "bye"),
    *("xin chào", "chào bạn", "cảm ơn", "cảm ơn bạn", "tạm biệt"),
)
"""Nobody's when nothing else is said."""

SMALL_TALK = Candidate(
    SMALL_TALK_NAME,
    "Small talk, general knowledge, creative writing, coding and everyday advice. Trò chuyện, kiến thức chung, sáng "
    "tác, lập trình và lời khuyên hằng ngày.",
    (
        "Hello, how are you?",
        "Hey, nice to meet you",
        "Thank you very much",
        "Good night, see you later",
        "Tell me a joke",
        "Write a story about a dragon",
        "Write a song for my friend",
        "What is the capital of France?",
        "Who is the president of the United States?",
        "What will the weather be tomorrow?",
        "How do I bake a cake?",
        "Translate this sentence into German",
        "What is 25 percent of 80?",
        "Write a program that sorts a list in JavaScript",
        "Recommend a book to read",
        "What should I eat for dinner?",
        "Explain how gravity works",
        "I am bored, I feel sad",
        "Who are you and what can you do for me?",
        "Plan a holiday in Thailand",
        "How can I lose weight?",
        "When did the second world war end?",
        "What do you think about love?",
        "Xin chào, dạo này sao rồi?",
        "Chào bạn, rất vui được gặp",
        "Cảm ơn bạn rất nhiều",
        "Chúc ngủ ngon, hẹn gặp lại",
        "Kể cho tôi một câu chuyện vui",
        "Làm thơ tặng thầy cô",
        "Sáng tác bài hát tặng bạn gái",
        "Thủ đô của nước Pháp là gì?",
        "Tổng thống Mỹ là ai?",
        "Ngày mai trời có mưa không?",
        "Cách làm bánh bông lan",
        "Dịch câu này sang tiếng Đức",
        "25 phần trăm của 80 là mấy?",
        "Viết chương trình sắp xếp danh sách bằng JavaScript",
        "Giới thiệu một cuốn sách hay",
        "Tối nay nên ăn món gì?",
        "Giải thích lực hấp dẫn hoạt động ra sao",
        "Tôi buồn quá, chán quá",
        "Bạn là ai, bạn có thể làm gì?",
        "Đi du lịch Thái Lan nên đi đâu?",
        "Làm thế nào để giảm cân?",
        "Chiến tranh thế giới kết thúc năm nào?",
        "Bạn nghĩ gì về tình yêu?",
    ),
    (
        *("hello", "hi", "hey", "thanks", "thank you", "good morning", "good night", "goodbye", "bye", "joke", "funny"),
        *("poem", "song", "music", "movie", "film", "weather", "recipe", "cook", "translate", "world", "capital"),
        *("python", "javascript", "function", "football", "holiday", "birthday", "sleep", "cat", "dog", "lol", "haha"),
        *("xin chào", "chào", "cảm ơn", "tạm biệt", "hẹn gặp", "kể chuyện", "chuyện cười", "bài thơ", "bài hát"),
        *("phim", "âm nhạc", "thời tiết", "món ăn", "nấu", "dịch", "thủ đô", "bóng đá", "du lịch", "sinh nhật"),
        *("tiếng anh", "tiếng pháp", "mèo", "chó", "tình yêu", "trời", "ăn gì"),
    ),
)
