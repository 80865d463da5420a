"""Two addresses: hand over an order, ask how far it is."""

from django.urls import path
from shop import views

urlpatterns = [
    path("orders", views.orders),
    path("orders/<str:result_id>", views.status, name="status"),
]
