"""Instances of every class that Dagster's serdes knows, drawn from their annotations.

`objects(cls)` is a hypothesis strategy for a whitelisted class: it reads the constructor's
signature and the declared fields, and draws a value for each. Classes that refuse such values have
a builder in `builders.py`. Values stay small; what is special about scalars has its own tests.
"""

import collections.abc
import contextlib
import datetime
import enum
import functools
import importlib
import inspect
import pkgutil
import sys
import types
import typing
import warnings

import dagster
import dagster_shared
from dagster_shared.check import EvalContext
from dagster_shared.record import get_record_annotations, has_generated_new, is_record
from dagster_shared.serdes import serdes
from hypothesis import assume
from hypothesis import strategies as st

# Modules of Dagster that nobody can import in an ordinary installation.
SKIPPED_MODULES = ("_vendored", "__main__", "fix_imports")


def import_all_of_dagster() -> list[str]:
    """Fill the registry; the names of the modules that could not be imported."""
    failed = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for package in (dagster_shared, dagster):
            found = pkgutil.walk_packages(
                package.__path__, f"{package.__name__}.", onerror=failed.append
            )
            for module in found:
                if any(skipped in module.name for skipped in SKIPPED_MODULES):
                    continue
                try:
                    importlib.import_module(module.name)
                except Exception:
                    failed.append(module.name)
    return failed


FAILED_MODULES = import_all_of_dagster()
WHITELIST = serdes._WHITELIST_MAP
CLASSES = {name: ser.klass for name, ser in sorted(WHITELIST.object_serializers.items())}
ENUMS = {ser.klass.__name__: ser.klass for ser in WHITELIST.enum_serializers.values()}


@functools.cache
def names_of_dagster() -> dict[str, object]:
    """Classes and aliases of all modules by name, for annotations that are strings."""
    names: dict[str, object] = {**vars(typing), **vars(collections.abc)}
    for module_name, module in list(sys.modules.items()):
        if module_name.split(".")[0] in ("dagster", "dagster_shared"):
            for name, value in list(vars(module).items()):
                if isinstance(value, type) or typing.get_origin(value) is not None:
                    names.setdefault(name, value)
    return {**names, **WHITELIST.object_type_map, **ENUMS}


@contextlib.contextmanager
def constructing():
    """What a constructor needs when it is called for the first time: silence and all names."""
    with (
        warnings.catch_warnings(),
        EvalContext.contextual_namespace({**WHITELIST.object_type_map, **ENUMS}),
    ):
        warnings.simplefilter("ignore")
        yield


def resolve(annotation, module: str):
    """An annotation with its forward references looked up, or `Any`."""
    if isinstance(annotation, typing.ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        try:
            namespace = {**names_of_dagster(), **vars(sys.modules[module])}
            annotation = eval(annotation, namespace)
        except Exception:
            return typing.Any
        return resolve(annotation, module)
    return annotation


def declared_fields(cls) -> dict[str, object]:
    if is_record(cls):
        return dict(get_record_annotations(cls))
    fields: dict[str, object] = {}
    for ancestor in reversed(cls.__mro__):
        fields.update(inspect.get_annotations(ancestor))
    return fields


def parameters(cls) -> dict[str, tuple[object, bool]]:
    """Parameter name to annotation and whether it must be given."""
    fields = declared_fields(cls)
    if is_record(cls) and has_generated_new(cls):
        defaults = cls.__record_defaults__
        return {name: (hint, name not in defaults) for name, hint in fields.items()}
    constructor = cls.__new__ if issubclass(cls, tuple) else cls.__init__
    if not issubclass(cls, tuple) and hasattr(cls, "model_fields"):
        return {name: (f.annotation, f.is_required()) for name, f in cls.model_fields.items()}
    found = {}
    for name, parameter in list(inspect.signature(constructor).parameters.items())[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        hint = parameter.annotation
        if hint is inspect.Parameter.empty:
            hint = fields.get(name, typing.Any)
        found[name] = (hint, parameter.default is inspect.Parameter.empty)
    return found


text = st.text(
    st.characters(codec="utf-8") | st.sampled_from("ab/.-_0"), min_size=0, max_size=8
) | st.sampled_from(["a", "orders", "2024-01-01", "team:x"])
integers = st.integers(-5, 300) | st.integers(-(2**70), 2**70)
floats = st.floats(allow_nan=False)
scalars = st.none() | st.booleans() | integers | floats | text
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(text, inner, max_size=2),
    max_leaves=4,
)


def values(annotation, module: str, depth: int) -> st.SearchStrategy:
    """Values of an annotated type; small ones once `depth` is used up."""
    annotation = resolve(annotation, module)
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    few = 2 if depth > 0 else 0

    if origin is typing.Annotated or getattr(origin, "__name__", "") in ("PublicAttr", "InitVar"):
        return values(arguments[0], module, depth)
    if annotation in (None, type(None)):
        return st.none()
    if annotation in (typing.Any, object) or isinstance(annotation, typing.TypeVar):
        return json_values if depth > 0 else scalars
    if origin in (typing.Union, types.UnionType):
        return st.one_of(drawable(simplest(arguments, depth), module, depth))
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    basic = {str: text, int: integers, float: floats, bool: st.booleans()}
    if annotation in basic:
        return basic[annotation]

    kind = origin or annotation
    if kind is datetime.timedelta:
        return st.timedeltas(datetime.timedelta(minutes=1), datetime.timedelta(days=9))
    if kind is typing.NamedTuple:
        return objects(CLASSES["AssetKey"], depth - 1)
    if kind is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return collection(tuple, lambda: values(arguments[0], module, depth - 1), few)
        return st.tuples(*[values(argument, module, depth - 1) for argument in arguments])
    if isinstance(kind, type):
        if issubclass(kind, enum.Enum) and list(kind):
            return st.sampled_from(list(kind))
        if kind in CLASSES.values():
            return objects(kind, depth - 1)
        if issubclass(kind, (frozenset,)):
            return collection(frozenset, lambda: hashable(arguments, module, depth), few)
        if issubclass(kind, collections.abc.Set):
            return collection(set, lambda: hashable(arguments, module, depth), few)
        if issubclass(kind, collections.abc.Mapping):
            key, value = arguments or (str, typing.Any)
            pair = lambda: st.tuples(  # noqa: E731
                hashable((key,), module, depth), values(value, module, depth - 1)
            )
            return collection(dict, pair, few)
        if issubclass(kind, collections.abc.Iterable) and kind.__module__ in (
            "builtins",
            "collections.abc",
            "typing",
        ):
            item = arguments[0] if arguments else typing.Any
            return collection(list, lambda: values(item, module, depth - 1), few)
        heirs = [cls for cls in CLASSES.values() if issubclass(cls, kind)]
        if heirs:
            return st.deferred(
                lambda: st.one_of([objects(cls, depth - 1) for cls in simplest(heirs, depth)])
            )
    raise NotImplementedError(f"no values for {annotation!r}")


def drawable(options, module: str, depth: int) -> list[st.SearchStrategy]:
    """Strategies of those members of a union that are values to Dagster's serdes."""
    found, refused = [], None
    for option in options:
        try:
            found.append(values(option, module, depth))
        except NotImplementedError as error:
            refused = error
    if not found:
        raise refused or NotImplementedError("an empty union")
    return found


def collection(kind, item, few: int) -> st.SearchStrategy:
    """A collection of at most `few` items, whose strategy is not even looked at for none."""
    return st.lists(item(), max_size=few).map(kind) if few else st.just(()).map(kind)


def hashable(arguments, module: str, depth: int) -> st.SearchStrategy:
    hint = resolve(arguments[0], module) if arguments else str
    if hint is typing.Any or isinstance(hint, typing.TypeVar):
        return text
    return values(hint, module, depth - 1)


def simplest(options, depth: int):
    """All options, or when there is no depth left the one that is nested least."""
    options = list(options)
    if depth > 0:
        return options

    def weight(option):
        option = (
            typing.get_args(option)[0] if typing.get_origin(option) is typing.Annotated else option
        )
        if option in (None, type(None)):
            return 0
        if option in (str, int, float, bool):
            return 1
        if typing.get_origin(option) is not None:
            return 2
        return 3 + (
            len(parameters(option))
            if isinstance(option, type) and option in CLASSES.values()
            else 50
        )

    return sorted(options, key=weight)[:1]


def objects(cls, depth: int = 2) -> st.SearchStrategy:
    """Instances of a whitelisted class."""
    from codec.builders import BUILDERS

    return cached_objects(cls, max(depth, -4), BUILDERS.get(cls.__name__))


@functools.cache
def cached_objects(cls, depth: int, builder) -> st.SearchStrategy:
    if builder is not None:
        return builder(depth)
    if depth <= -4:
        raise NotImplementedError(f"{cls.__name__} nests too deep")
    return st.deferred(lambda: constructed(cls, depth))


@functools.cache
def constructed(cls, depth: int) -> st.SearchStrategy:
    arguments = {}
    optional = {}
    for name, (hint, required) in parameters(cls).items():
        if required or depth > 0:
            (arguments if required else optional)[name] = values(hint, cls.__module__, depth)
    drawn = st.fixed_dictionaries(arguments, optional=optional)

    @st.composite
    def build(draw):
        given = draw(drawn)
        try:
            with constructing():
                return cls(**given)
        except Exception as error:
            REFUSALS.setdefault(cls.__name__, []).append(repr(error)[:300])
            assume(False)

    return build()


# Why constructors refused drawn values, for whoever has to write a builder.
REFUSALS: dict[str, list[str]] = {}
