"""/api/products."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field

from api.deps import Reader, Rows
from api.schemas import ABOUT_ONE, SIGNED_IN, CamelModel, Id, Page, Paging
from models.money import to_number
from models.products import Product
from models.queries import products

router = APIRouter(prefix="/products", tags=["products"])


class BillingCycleOut(CamelModel):
    cycle: str
    price: float
    currency: str


class ProductOut(CamelModel):
    """`code` is what orders name; `orderable` is whether it can be delivered yet."""

    id: UUID
    tenant_id: UUID
    name: str
    type: str
    sku: str
    code: str
    billing_cycles: list[BillingCycleOut]
    metadata: dict[str, Any]
    status: str
    orderable: bool

    @classmethod
    def of(cls, product: Product) -> "ProductOut":
        """Prices leave as decimal numbers."""
        return cls(
            **product.model_dump(
                include={"id", "tenant_id", "name", "type", "sku", "code", "status"}
            ),
            billing_cycles=[
                BillingCycleOut(
                    cycle=offer["cycle"],
                    price=to_number(offer["price"]),
                    currency=offer["currency"],
                )
                for offer in product.billing_cycles
            ],
            metadata=product.attributes,
            orderable=product.status == "active" and bool(product.delivers),
        )


class ProductPaging(Paging):
    page_size: int = Field(default=100, ge=1, le=100)
    type: str | None = None
    active_only: bool = False


@router.get("", responses=SIGNED_IN)
async def list_products(
    query: Annotated[ProductPaging, Query()], _: Reader, rows: Rows
) -> Page[ProductOut]:
    """The catalogue."""
    found = await products.find(
        rows, query.window, product_type=query.type, active_only=query.active_only
    )
    items = [ProductOut.of(product) for product in found.items]
    return Page[ProductOut](items=items, total=found.total)


@router.get("/{id}", responses=ABOUT_ONE)
async def get_product(product_id: Id, _: Reader, rows: Rows) -> ProductOut:
    """One product."""
    return ProductOut.of(await products.get(rows, product_id))
