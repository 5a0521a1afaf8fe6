"""PPTX, with python-pptx: a slide is a page with its title as heading, then text, tables, charts, and speaker notes."""

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from pptx.enum.shapes import PP_PLACEHOLDER
from pptx.exc import PythonPptxError
from pptx.package import Package

from tools.documents.block_collector import BlockCollector
from tools.documents.blocks import ReadBlocks, Unreadable
from tools.documents.formats import ReadOptions
from tools.documents.formats.office import open_checked
from tools.documents.tables import markdown_tables

MAX_DEPTH = 10
IGNORED_PLACEHOLDERS = (PP_PLACEHOLDER.DATE, PP_PLACEHOLDER.FOOTER, PP_PLACEHOLDER.SLIDE_NUMBER, PP_PLACEHOLDER.HEADER)
DEFAULT_TITLES = ("powerpoint presentation", "presentation", "slide 1")


def read(file: BinaryIO, options: ReadOptions) -> ReadBlocks:
    """Raises Unreadable: damaged, encrypted, too_large, bomb, empty."""
    collector = BlockCollector(options.max_characters)
    with open_checked(file, PythonPptxError):
        package: Any = Package.open(file)
        presentation = package.presentation_part.presentation
        slides = list(presentation.slides)
        if len(slides) > options.max_pages:
            raise Unreadable("too_large", f"The file has more than {options.max_pages:,} slides; split it up.")
        for number, slide in enumerate(slides, 1):
            if slide.element.get("show") == "0":
                collector.note(f"Slide {number} is hidden and was left out.")
            else:
                _add_slide(slide, number, collector)
        title = (presentation.core_properties.title or "").strip()
    return collector.finish("" if title.lower() in DEFAULT_TITLES else title, len(slides))


def _add_slide(slide: Any, number: int, collector: BlockCollector) -> None:
    title = slide.shapes.title
    if title is not None and title.has_text_frame:
        collector.add_heading(title.text_frame.text, 1, number)
    for shape in _in_order(slide.shapes):
        if title is None or shape.shape_id != title.shape_id:
            _add_shape(shape, number, collector)
    if slide.has_notes_slide and (frame := slide.notes_slide.notes_text_frame) is not None:
        collector.add("text", frame.text, number)


def _in_order(shapes: Iterable[Any], depth: int = 0) -> Iterator[Any]:
    """Shapes from top to bottom and left to right; they are stored in z-order."""
    for shape in sorted(shapes, key=lambda shape: (_or_zero(shape.top), _or_zero(shape.left))):
        if hasattr(shape, "shapes"):
            if depth < MAX_DEPTH:
                yield from _in_order(shape.shapes, depth + 1)
        else:
            yield shape


def _or_zero(place: int | None) -> int:
    return place or 0


def _add_shape(shape: Any, number: int, collector: BlockCollector) -> None:
    if shape.is_placeholder and shape.placeholder_format.type in IGNORED_PLACEHOLDERS:
        return
    if getattr(shape, "has_table", False):
        rows = [[cell.text for cell in row.cells] for row in shape.table.rows]
        for piece in markdown_tables(rows):
            collector.add("table", piece, number)
    elif getattr(shape, "has_chart", False):
        _add_chart(shape.chart, number, collector)
    elif shape.has_text_frame:
        _add_text(shape, number, collector)


def _add_text(shape: Any, number: int, collector: BlockCollector) -> None:
    """Add the body of a slide as a list if it has several paragraphs, other boxes as text."""
    paragraphs = [(paragraph.level, " ".join(paragraph.text.split())) for paragraph in shape.text_frame.paragraphs]
    written = [(level, text) for level, text in paragraphs if text]
    if shape.is_placeholder and len(written) > 1:
        collector.add("list", "\n".join(f"{'  ' * level}- {text}" for level, text in written), number)
    else:
        collector.add("text", "\n".join(text for _, text in written), number)


def _add_chart(chart: Any, number: int, collector: BlockCollector) -> None:
    """Add a chart's data as a table, one row per category."""
    if chart.has_title and chart.chart_title.has_text_frame:
        collector.add("text", chart.chart_title.text_frame.text, number)
    for plot in chart.plots:
        series = list(plot.series)
        rows = [["", *(each.name or "" for each in series)]]
        for index, category in enumerate(plot.categories):
            rows.append([str(category), *(_format_value(each.values, index) for each in series)])
        for piece in markdown_tables(rows):
            collector.add("table", piece, number)


def _format_value(values: tuple[float | None, ...], index: int) -> str:
    value = values[index] if index < len(values) else None
    return "" if value is None else f"{value:.15g}"
