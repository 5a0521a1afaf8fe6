/** What the widget says, in the language of the page that has it. */

const en = {
  open: "Open the chat",
  close: "Close the chat",
  title: "Chat",
  greeting: "Hello! How can we help?",
  message: "Your message",
  send: "Send",
  stop: "Stop",
  again: "New conversation",
  you: "You",
  them: "Answer",
  waiting: "One moment …",
  working: "Looking that up …",
  answering: "Answering …",
  stopped: "Stopped.",
  failed: "That did not work. Please ask again.",
  away: "The chat can't be reached. Please try again.",
  tooMany: "Too many messages at the moment. Please try again in a minute.",
  busy: "Your last question is still being answered.",
  tooLong: "This conversation has become long. Please begin a new one.",
  noPage: "The chat is not available here.",
};

const vi: typeof en = {
  open: "Mở khung trò chuyện",
  close: "Đóng khung trò chuyện",
  title: "Trò chuyện",
  greeting: "Xin chào! Chúng tôi có thể giúp gì cho bạn?",
  message: "Tin nhắn của bạn",
  send: "Gửi",
  stop: "Dừng",
  again: "Cuộc trò chuyện mới",
  you: "Bạn",
  them: "Trả lời",
  waiting: "Xin đợi một chút …",
  working: "Đang tra cứu …",
  answering: "Đang trả lời …",
  stopped: "Đã dừng.",
  failed: "Chưa trả lời được. Xin hỏi lại.",
  away: "Không kết nối được. Xin thử lại.",
  tooMany: "Hiện có quá nhiều tin nhắn. Xin thử lại sau một phút.",
  busy: "Câu hỏi trước vẫn đang được trả lời.",
  tooLong: "Cuộc trò chuyện này đã dài. Xin bắt đầu cuộc trò chuyện mới.",
  noPage: "Trang này không dùng được khung trò chuyện.",
};

export type WidgetWords = typeof en;

/** The words of a language such as `vi-VN`; English for one that is not there. */
export function wordsFor(language: string): WidgetWords {
  return language.toLowerCase().startsWith("vi") ? vi : en;
}
