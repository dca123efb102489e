-- A small lending library, so that the example runs. Your own database is there already.
CREATE TABLE books (
    id INTEGER PRIMARY KEY,
    title TEXT NOT NULL,
    author TEXT NOT NULL,
    withdrawn_on TEXT -- set when a book left the shelves; its row stays
);
CREATE TABLE loans (
    id INTEGER PRIMARY KEY,
    book_id INTEGER NOT NULL REFERENCES books (id),
    member TEXT NOT NULL,
    lent_on TEXT NOT NULL,
    returned_on TEXT
);
INSERT INTO books VALUES
    (1, 'The Sea Road', 'Ida Holm', NULL),
    (2, 'Bread and Salt', 'Omar Rahal', NULL),
    (3, 'Winter Maps', 'Ida Holm', '2025-03-01'),
    (4, 'A Short Bridge', 'Lena Fuchs', NULL),
    (5, 'The Glass Year', 'Omar Rahal', NULL);
INSERT INTO loans VALUES
    (1, 1, 'ada', '2025-05-02', '2025-05-20'),
    (2, 2, 'ada', '2025-05-02', NULL),
    (3, 4, 'ben', '2025-05-11', NULL),
    (4, 3, 'cleo', '2024-11-03', '2024-11-30'),
    (5, 1, 'ben', '2025-06-01', NULL),
    (6, 5, 'cleo', '2025-06-04', '2025-06-09'),
    (7, 4, 'ada', '2025-04-14', '2025-05-05');
