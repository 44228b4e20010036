"""One evaluation: its options, its episodes, its report and how that is shown."""
