"""`python -m deskd` is `deskd`."""

from deskd.cli.daemon import main

if __name__ == "__main__":
    main()
