"""The files of a review: PDF, workbook, rows and text, all drawn from one `costlib.review.Review`."""
