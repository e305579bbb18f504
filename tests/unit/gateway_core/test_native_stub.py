"""`_native.pyi` is the manual of the built module: names and parameters must be those of the module."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import gateway_core

_native = pytest.importorskip("gateway_core._native", reason="gateway_core._native is not built")

_STUB = Path(gateway_core.__file__).with_name("_native.pyi")
_CLASSES = {node.name: node for node in ast.parse(_STUB.read_text()).body if isinstance(node, ast.ClassDef)}
_METHODS = [
    pytest.param(name, node, id=f"{name}.{node.name}")
    for name, body in _CLASSES.items()
    for node in body.body
    if isinstance(node, ast.FunctionDef)
]


def is_property(node: ast.FunctionDef) -> bool:
    return any(isinstance(decorator, ast.Name) and decorator.id == "property" for decorator in node.decorator_list)


def test_the_stub_lists_every_class_and_no_other() -> None:
    assert set(_CLASSES) == {name for name, value in vars(_native).items() if inspect.isclass(value)}


@pytest.mark.parametrize("name", _CLASSES)
def test_the_stub_lists_every_method_and_no_other(name: str) -> None:
    listed = {node.name for node in _CLASSES[name].body if isinstance(node, ast.FunctionDef)}
    built = {method for method in vars(getattr(_native, name)) if not method.startswith("__")}
    assert listed - {"__new__"} == built


@pytest.mark.parametrize(("name", "node"), _METHODS)
def test_the_stub_has_the_parameters_of_the_method(name: str, node: ast.FunctionDef) -> None:
    built = getattr(_native, name)
    if is_property(node):
        assert inspect.isgetsetdescriptor(vars(built)[node.name])
        return
    signature = inspect.signature(built if node.name == "__new__" else getattr(built, node.name))
    parameters = [name for name in signature.parameters if name != "self"]
    assert [argument.arg for argument in node.args.args][1:] == parameters
    defaults = [p for p in signature.parameters.values() if p.default is not inspect.Parameter.empty]
    assert len(node.args.defaults) == len(defaults)
