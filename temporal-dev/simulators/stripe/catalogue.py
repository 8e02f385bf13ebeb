"""Products and prices."""

from simulators.stripe.account import Account, Json, new_id, now
from simulators.stripe.errors import StripeError
from simulators.stripe.params import (
    Params,
    anything,
    boolean,
    integer,
    merged,
    metadata,
    one_of,
    struct,
    text,
)

_PRODUCT = {
    "active": boolean,
    "description": text,
    "metadata": metadata,
    "name": text,
    "statement_descriptor": text,
    "tax_code": text,
    "unit_label": text,
    "url": text,
}
RECURRING = struct(
    "interval",
    interval=one_of("day", "week", "month", "year"),
    interval_count=integer,
    usage_type=one_of("licensed"),
)
_PRICE = {
    "active": boolean,
    "lookup_key": text,
    "metadata": metadata,
    "nickname": text,
    "tax_behavior": one_of("exclusive", "inclusive", "unspecified"),
}
PRICE_DATA = struct(
    "currency",
    "unit_amount",
    currency=text,
    unit_amount=integer,
    product=text,
    product_data=struct("name", name=text, description=text, metadata=metadata),
    recurring=RECURRING,
    tax_behavior=anything,
)


def create_product(account: Account, params: Params, _: str) -> Json:
    """POST /v1/products"""
    given = params.take("name", id=text, images=anything, **_PRODUCT)
    if given.get("id") and account.find("product", given["id"]):
        message = "Product already exists."
        raise StripeError.invalid(message, "id", "resource_already_exists")
    return add_product(account, **given)


def add_product(account: Account, **given: object) -> Json:
    """A new product with these fields."""
    product: Json = {
        "id": new_id("prod"),
        "object": "product",
        "active": True,
        "created": now(),
        "default_price": None,
        "description": None,
        "images": [],
        "livemode": False,
        "marketing_features": [],
        "metadata": {},
        "name": "",
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": None,
        "type": "service",
        "unit_label": None,
        "updated": now(),
        "url": None,
    }
    return account.changed("product.created", {**product, **given})


def update_product(account: Account, params: Params, id: str) -> Json:
    """POST /v1/products/{id}"""
    product = account.get("product", id)
    given = params.take(**_PRODUCT, default_price=text)
    given["metadata"] = merged(product["metadata"], given.get("metadata", {}))
    return account.changed("product.updated", {**product, **given, "updated": now()})


def retrieve_product(account: Account, params: Params, id: str) -> Json:
    """GET /v1/products/{id}"""
    params.take()
    return account.get("product", id)


def list_products(account: Account, params: Params, _: str) -> Json:
    """GET /v1/products"""
    return account.page("product", params, "/v1/products")


def create_price(account: Account, params: Params, _: str) -> Json:
    """POST /v1/prices"""
    given = params.take(
        "currency",
        "unit_amount",
        currency=text,
        unit_amount=integer,
        product=text,
        product_data=struct("name", name=text, metadata=metadata),
        recurring=RECURRING,
        **_PRICE,
    )
    return add_price(account, given)


def add_price(account: Account, given: Json) -> Json:
    """A new price; of a new product, if `product_data` describes one."""
    given = dict(given)
    if made := given.pop("product_data", None):
        given["product"] = add_product(account, **made)["id"]
    if not given.get("product"):
        message = "Missing required param: product."
        raise StripeError.invalid(message, "product", "parameter_missing")
    account.get("product", given["product"], "product")
    if recurring := given.get("recurring"):
        usual = {"interval_count": 1, "usage_type": "licensed", "meter": None}
        given["recurring"] = {**usual, "trial_period_days": None, **recurring}
    price: Json = {
        "id": new_id("price"),
        "object": "price",
        "active": True,
        "billing_scheme": "per_unit",
        "created": now(),
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": None,
        "metadata": {},
        "nickname": None,
        "recurring": None,
        "tax_behavior": "unspecified",
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring" if recurring else "one_time",
        "unit_amount_decimal": str(given["unit_amount"]),
    }
    given["currency"] = given["currency"].lower()
    return account.changed("price.created", {**price, **given})


def priced(account: Account, line: Json, param: str) -> Json:
    """The price of a line that names one (`price`) or describes it (`price_data`)."""
    if line.get("price"):
        return account.get("price", line["price"], f"{param}[price]")
    if line.get("price_data"):
        return add_price(account, line["price_data"])
    message = f"Missing required param: {param}[price]."
    raise StripeError.invalid(message, f"{param}[price]", "parameter_missing")


def update_price(account: Account, params: Params, id: str) -> Json:
    """POST /v1/prices/{id}"""
    price = account.get("price", id)
    given = params.take(**_PRICE)
    given["metadata"] = merged(price["metadata"], given.get("metadata", {}))
    return account.changed("price.updated", {**price, **given})


def retrieve_price(account: Account, params: Params, id: str) -> Json:
    """GET /v1/prices/{id}"""
    params.take()
    return account.get("price", id)


def list_prices(account: Account, params: Params, _: str) -> Json:
    """GET /v1/prices"""
    filters = {"product": "product", "currency": "currency"}
    return account.page("price", params, "/v1/prices", filters)


OPERATIONS = {
    "POST /v1/products": create_product,
    "GET /v1/products": list_products,
    "GET /v1/products/{id}": retrieve_product,
    "POST /v1/products/{id}": update_product,
    "POST /v1/prices": create_price,
    "GET /v1/prices": list_prices,
    "GET /v1/prices/{id}": retrieve_price,
    "POST /v1/prices/{id}": update_price,
}
