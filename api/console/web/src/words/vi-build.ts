/** Vietnamese of the same pages as `en-build.ts`. */

import type { build as english } from "./en-build";

export const build: typeof english = {
  widgets: {
    title: "Khung trò chuyện",
    hint: "Trò chuyện với một tác nhân của bạn ngay trên trang web của bạn. Khoá của khung là công khai: chỉ dùng được trên các trang bạn liệt kê và không làm được gì khác.",
    make: "Khung mới",
    empty: "Chưa có khung nào. Khung là một dòng HTML để khách ghé trang web của bạn trò chuyện với một tác nhân.",
    agent: "Tác nhân",
    agentHint: "Tác nhân trả lời. Khách thấy câu trả lời; không thấy công cụ, mô hình và chi phí.",
    noAgents: "Chưa có tác nhân nào. Hãy tạo một tác nhân trước.",
    origins: "Các trang được dùng",
    originsHint: "Mỗi dòng một trang, ví dụ https://shop.example.com. Không kèm đường dẫn.",
    heading: "Tiêu đề (không bắt buộc)",
    greeting: "Lời chào (không bắt buộc)",
    greetingHint: "Để trống: lời chào chung, theo ngôn ngữ của khách.",
    rate: "Số tin mỗi phút, của mọi khách",
    rateHint: "Mỗi địa chỉ được gửi 20 tin.",
    day: "Ngân sách mỗi ngày, đô la Mỹ",
    dayHint: "Để trống: chỉ theo giới hạn của tổ chức. Khi hết, khách được báo “xin thử lại sau”.",
    used: "Dùng lần cuối",
    never: "Chưa",
    snippet: "Mã nhúng",
    snippetHint: "Đặt dòng này vào trang, ở bất kỳ đâu. Không cần gì thêm; nếu trang có chính sách bảo mật nội dung, hãy cho phép máy chủ này ở script-src và connect-src.",
    options: "Có thể thêm: data-lang=\"vi\", data-theme=\"light\" hoặc \"dark\", data-color=\"#0b6467\", data-position=\"left\".",
    change: "Sửa",
    talks: "Các cuộc trò chuyện",
    noTalks: "Chưa ai hỏi gì.",
    removeSure: (name: string) => `Xoá ${name}? Trong một giây, khung bị từ chối trên mọi trang. Các cuộc trò chuyện vẫn còn.`,
  },
};
