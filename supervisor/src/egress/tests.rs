mod exchange_tests {}
