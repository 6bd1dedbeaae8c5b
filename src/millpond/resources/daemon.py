"""The name that `docker/compose.yaml` of projects made before has for `millpond.instance.daemon`."""

from millpond.instance.daemon import main

if __name__ == "__main__":
    main()
