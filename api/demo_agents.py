"""The agents that are there to try: seeded by `up` and `demo`, with tools that ask the demo's ERP (`tools/erp/`)."""

from typing import Any

from schema.bootstrap import DEMO
from schema.seeding import ensure_agents
from tools.erp.definitions import definitions

BUILT_IN = (
    *("search_documents", "web_search", "wikipedia", "weather", "world_time", "mathematics", "python", "analyse_data"),
    *("query_database", "remember", "recall", "read_image"),
)

AGENTS: tuple[dict[str, Any], ...] = (
    {
        "name": "AgentDebt",
        "description": (
            "Debts and invoices of customers: what a customer owes, what is overdue, credit limits, reminders. "
            "Công nợ, hóa đơn, nợ quá hạn của khách hàng theo mã số thuế (MST)."
        ),
        "examples": [
            "What is the debt for customer MST 0104985841?",
            "Which invoices of 0104985841 are overdue?",
            "Khách hàng có mã số thuế 0104985841 còn nợ bao nhiêu?",
            "Công ty này đã trả hết công nợ chưa?",
        ],
        "prompt": "You are {agent}, who knows what customers owe. Look it up; name amounts with their currency and date.",
        "tools": ["get_customer_debt", "list_invoices", "send_reminder", "mathematics"],
        "renderer": {"type": "card", "fields": ["customer", "tax_code", "debt", "overdue", "currency", "as_of"]},
    },
    {
        "name": "AgentShipment",
        "description": (
            "Shipments and deliveries: where a parcel is, when it arrives, what is late. "
            "Vận đơn, giao hàng, tình trạng đơn hàng theo mã vận đơn."
        ),
        "examples": [
            "Where is shipment VD1007?",
            "When will the delivery for 0104985841 arrive?",
            "Đơn hàng VD1007 đang ở đâu?",
            "Khi nào hàng được giao?",
        ],
        "prompt": "You are {agent}, who knows where shipments are. Look them up; say where, since when and what comes next.",
        "tools": ["get_shipment"],
    },
    {
        "name": "AgentAnalysis",
        "description": (
            "Analysis of documents and data: what reports and contracts say, statistics of tables, sums, comparisons. "
            "Phân tích tài liệu, báo cáo, số liệu, thống kê."
        ),
        "examples": [
            "What does the annual report say about turnover?",
            "Compute mean and median of these numbers",
            "Phân tích bảng số liệu này",
            "Hợp đồng quy định thế nào về phạt chậm thanh toán?",
        ],
        "prompt": "You are {agent}. Work from documents and data; cite the source of every statement, and say what is missing.",
        "tools": ["search_documents", "analyse_data", "mathematics", "query_database", "python"],
    },
    {
        "name": "AgentOCR",
        "description": (
            "Reads text from pictures and scans: invoices, receipts, forms, photographs of documents. "
            "Đọc chữ trong ảnh, quét hóa đơn, nhận dạng văn bản."
        ),
        "examples": [
            "Read the text in this image",
            "What is the total on the scanned receipt?",
            "Đọc chữ trong ảnh này giúp tôi",
            "Trích xuất thông tin từ ảnh hóa đơn",
        ],
        "prompt": "You are {agent}. Read what is in the picture; repeat numbers and names exactly, and say what can't be read.",
        "tools": ["read_image"],
    },
)


def ensure_demo_agents(database_url: str, erp_url: str) -> None:
    """Make sure that the demo tenant has its agents, whose tools ask the ERP at `erp_url`."""
    ensure_agents(database_url, DEMO, AGENTS, definitions(erp_url), BUILT_IN)
