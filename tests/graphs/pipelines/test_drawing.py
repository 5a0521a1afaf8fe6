"""Drawing pipelines: the built-in ones match their compiled graphs; tenants' own may have hostile names."""

import re
import subprocess
import sys
from typing import Any
from xml.etree import ElementTree

import pytest

from graphs.pipelines.builtin import BUILTIN, TOPOLOGY_FILE, builtin_topology
from graphs.pipelines.layout import lay_out
from graphs.pipelines.mermaid import draw_mermaid
from graphs.pipelines.svg import draw_svg
from graphs.pipelines.topology import Edge, Node, Topology, build_topology
from graphs.pipelines.validation import BUILTIN_NAMES, check_definition
from tests.graphs.compiled_topologies import encoded_topologies

SVG = "{http://www.w3.org/2000/svg}"
OWN_PIPELINE: dict[str, Any] = {
    "name": "mine",
    "start": "ask",
    "steps": {
        "ask": {"kind": "prompt", "prompt": "{{input}}", "next": "way"},
        "way": {"kind": "router", "by": "{{steps.ask}}", "cases": {"both": "both", "x": "talk"}, "otherwise": "talk"},
        "both": {"kind": "parallel", "branches": {"left": ["l1", "l2"], "right": ["r"]}, "next": "talk"},
        "l1": {"kind": "tool", "tool": "find"},
        "l2": {"kind": "tool", "tool": "find"},
        "r": {"kind": "tool", "tool": "find"},
        "talk": {"kind": "agent", "agent": "Helper"},
    },
}


def own_topology() -> Topology:
    return build_topology(check_definition(OWN_PIPELINE, agents=["Helper"], tools={"find": None}))


def test_the_built_in_ones_are_drawn_as_they_are_compiled() -> None:
    assert encoded_topologies().decode() == TOPOLOGY_FILE.read_text(), "run: python -m tests.graphs.compiled_topologies"


def test_every_built_in_name_is_taken() -> None:
    assert set(BUILTIN_NAMES) == BUILTIN.keys()


def test_a_topology_has_a_place_for_every_step_and_where_branches_meet() -> None:
    topology = own_topology()
    assert [
        "__start__", "ask", "way", "both", "both.join", "l1", "l2", "r", "talk", "__end__",
    ] == [node.id for node in topology.nodes]  # fmt: skip
    edges = {(edge.source, edge.target, edge.label) for edge in topology.edges}
    assert {
        ("__start__", "ask", ""), ("ask", "way", ""), ("way", "both", "both"), ("way", "talk", "x"),
        ("way", "talk", "otherwise"), ("both", "l1", "left"), ("l1", "l2", ""), ("l2", "both.join", ""),
        ("both", "r", "right"), ("r", "both.join", ""), ("both.join", "talk", ""), ("talk", "__end__", ""),
    } == edges  # fmt: skip
    assert {"way"} == {edge.source for edge in topology.edges if edge.conditional}


@pytest.mark.parametrize("name", [*BUILTIN, "own"])
def test_a_picture_is_whole_and_nothing_of_it_overlaps(name: str) -> None:
    topology = own_topology() if name == "own" else builtin_topology(name)
    svg = ElementTree.fromstring(draw_svg(topology, name))
    nodes = svg.findall(f"{SVG}g")
    assert len(topology.nodes) == len(nodes)
    assert len(topology.edges) == len([p for p in svg.findall(f"{SVG}path") if "way" in (p.get("class") or "")])
    boxes = list(lay_out(topology, {node.id: node.label for node in topology.nodes}).boxes.values())
    for i, one in enumerate(boxes):
        for other in boxes[i + 1 :]:
            apart_x = abs(one.x - other.x) >= (one.width + other.width) / 2
            assert apart_x or abs(one.y - other.y) >= (one.height + other.height) / 2
    width, height = float(svg.get("width") or 0), float(svg.get("height") or 0)
    assert all(0 <= box.x - box.width / 2 and box.x + box.width / 2 <= width and box.y < height for box in boxes)


def test_steps_stand_below_those_that_lead_to_them() -> None:
    topology = own_topology()
    boxes = lay_out(topology, {node.id: node.label for node in topology.nodes}).boxes
    assert all(boxes[edge.source].y < boxes[edge.target].y for edge in topology.edges)


HOSTILE_LABEL = '"]<script>alert(1)</script>&amp;\x07\n%%{init}%% click n0 "javascript:x" \u202e' + "w" * 100


def hostile_topology() -> Topology:
    nodes = [
        Node("__start__", "start", "start"),
        Node("a", 'x" onload="y', HOSTILE_LABEL),
        Node("b", "tool", HOSTILE_LABEL),
    ]
    return Topology(nodes, [Edge("__start__", "a", HOSTILE_LABEL, True), Edge("a", "b"), Edge("b", "b")])


def test_hostile_labels_stay_text_in_a_picture() -> None:
    drawn = draw_svg(hostile_topology(), HOSTILE_LABEL)
    svg = ElementTree.fromstring(drawn)
    tags = {element.tag.removeprefix(SVG) for element in svg.iter()}
    assert {"svg", "title", "style", "defs", "marker", "path", "rect", "g", "text"} >= tags
    attributes = {name for element in svg.iter() for name in element.attrib}
    assert [] == [name for name in attributes if name.startswith("on") or "href" in name]
    assert {"#head"} == set(re.findall(r"url\(([^)]*)\)", drawn))
    assert all(len(text.text or "") <= 40 for text in svg.iter(f"{SVG}text"))
    assert [] == [c for c in drawn if not (c.isprintable() or c == "\n")]


def test_hostile_labels_stay_text_in_mermaid() -> None:
    drawn = draw_mermaid(hostile_topology())
    lines = drawn.splitlines()
    assert "flowchart TD" == lines[0]
    assert 1 + 3 + 3 == len(lines)
    assert "<" not in drawn.replace("-->", "").replace("-.->", "")
    assert all(line.count('"') in (0, 2) for line in lines)
    assert "%%" not in drawn


def test_a_diagram_names_each_way_once() -> None:
    drawn = draw_mermaid(own_topology())
    assert 'n2 -.->|"otherwise"| n8' in drawn
    assert 'n0(["start"])' in drawn
    assert 'n8("talk#58; Helper")' in drawn


def test_drawing_and_checking_load_no_langgraph() -> None:
    modules = ("builtin", "validation", "mermaid", "svg", "topology")
    code = "; ".join(f"import graphs.pipelines.{name}" for name in modules)
    output = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print([m for m in sys.modules if m.startswith('lang')])"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "[]" == output.stdout.strip()
