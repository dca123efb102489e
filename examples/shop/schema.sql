-- The shop's tables, as generate.py creates them. README.md lists what is treacherous about them.
CREATE TABLE categories (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, parent_id INTEGER REFERENCES categories(id));
CREATE TABLE suppliers (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, country TEXT NOT NULL, lead_time_days INTEGER NOT NULL);
CREATE TABLE products (
  id INTEGER PRIMARY KEY, sku TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
  category_id INTEGER NOT NULL REFERENCES categories(id), supplier_id INTEGER NOT NULL REFERENCES suppliers(id),
  price_eur REAL NOT NULL, listed_on TEXT NOT NULL, deleted_at TEXT);
CREATE TABLE customers (
  id INTEGER PRIMARY KEY, first_name TEXT NOT NULL, last_name TEXT NOT NULL, email TEXT NOT NULL UNIQUE,
  segment TEXT NOT NULL, country TEXT NOT NULL, is_test INTEGER NOT NULL DEFAULT 0, newsletter INTEGER NOT NULL,
  created_at TEXT NOT NULL, deleted_at TEXT);
CREATE TABLE addresses (
  id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers(id), street TEXT NOT NULL,
  postal_code TEXT NOT NULL, city TEXT NOT NULL, country TEXT NOT NULL, is_default INTEGER NOT NULL);
CREATE TABLE orders (
  id INTEGER PRIMARY KEY, order_no TEXT NOT NULL UNIQUE, buyer_id INTEGER NOT NULL,
  address_id INTEGER NOT NULL REFERENCES addresses(id), channel TEXT NOT NULL,
  status TEXT NOT NULL DEFAULT 'new', state TEXT NOT NULL, shipping_eur REAL NOT NULL, total_eur REAL NOT NULL,
  created_at TEXT NOT NULL, booked_on TEXT, deleted_at TEXT);
CREATE TABLE order_items (
  id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL REFERENCES orders(id),
  product_id INTEGER NOT NULL REFERENCES products(id), quantity INTEGER NOT NULL, unit_price_cents INTEGER NOT NULL);
CREATE TABLE payments (
  id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL REFERENCES orders(id), method TEXT NOT NULL,
  result TEXT NOT NULL, amount_cents INTEGER NOT NULL, paid_at TEXT NOT NULL);
CREATE TABLE shipments (
  id INTEGER PRIMARY KEY, order_ref TEXT NOT NULL, carrier TEXT NOT NULL, tracking_no TEXT NOT NULL,
  shipped_on TEXT NOT NULL, delivered_on TEXT);
CREATE TABLE returns (
  id INTEGER PRIMARY KEY, order_item_id INTEGER NOT NULL REFERENCES order_items(id), quantity INTEGER NOT NULL,
  reason TEXT NOT NULL, refund_cents INTEGER NOT NULL, returned_on TEXT NOT NULL);
CREATE TABLE reviews (
  id INTEGER PRIMARY KEY, product_id INTEGER NOT NULL REFERENCES products(id),
  customer_id INTEGER NOT NULL REFERENCES customers(id), rating INTEGER NOT NULL, title TEXT NOT NULL,
  created_at TEXT NOT NULL);
CREATE INDEX products_category ON products(category_id);
CREATE INDEX addresses_customer ON addresses(customer_id);
CREATE INDEX orders_buyer ON orders(buyer_id);
CREATE INDEX orders_created ON orders(created_at);
CREATE INDEX orders_booked ON orders(booked_on);
CREATE INDEX order_items_order ON order_items(order_id);
CREATE INDEX order_items_product ON order_items(product_id);
CREATE INDEX payments_order ON payments(order_id);
CREATE INDEX shipments_order ON shipments(order_ref);
CREATE INDEX returns_item ON returns(order_item_id);
CREATE INDEX reviews_product ON reviews(product_id);
